import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { Database } from '../common/database.js';

interface Account {
  readonly customer: string;
  /** In cents. */
  readonly balance: number;
}

/** Shows the customers' money. */
@Controller('accounts')
export class AccountsController {
  constructor(private readonly database: Database) {}

  @Get(':customer')
  async find(@Param('customer') customer: string): Promise<Account> {
    const [account] = await this.database.query<Account>(
      'SELECT customer, balance FROM accounts WHERE customer = $1',
      [customer],
    );
    if (account === undefined) throw new NotFoundException('No such customer has an account here.');
    return account;
  }
}
