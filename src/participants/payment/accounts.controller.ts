import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../../operations/problem/api-problem.decorator.js';
import { money, moneySchema } from '../../common/money.js';
import { Balances } from './balances.js';

const accountSchema = z
  .strictObject({
    customerId: z.string(),
    balance: moneySchema.describe('The balance of the customer, held or not.'),
    held: moneySchema.describe('Authorised for orders that are being placed.'),
    available: moneySchema.describe('Still available to spend.'),
  })
  .meta({ id: 'Account' });

/** Shows the customers' accounts. */
@ApiTags('accounts')
@Controller('accounts')
export class AccountsController {
  constructor(private readonly accounts: Balances) {}

  @Get(':customerId')
  @ApiOperation({ summary: 'The balance of a customer' })
  @ApiOkResponse({ standardSchema: accountSchema })
  @ApiProblem(404, 'There is no such account')
  async find(@Param('customerId') customerId: string): Promise<z.output<typeof accountSchema>> {
    const account = await this.accounts.find(customerId);
    if (account === undefined) throw new NotFoundException('There is no such account here.');
    const { balance, held } = account;
    return { customerId, balance: money(balance), held: money(held), available: money(balance - held) };
  }
}
