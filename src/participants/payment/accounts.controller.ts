import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../../operations/problem/api-problem.decorator.js';
import { money, moneySchema } from '../../common/money.js';
import { Balances } from './balances.js';

const accountSchema = z
  .strictObject({
    customerId: z.string(),
    balance: moneySchema.describe('What the customer has, held or not.'),
    held: moneySchema.describe('Authorised for orders that are being placed.'),
    available: moneySchema.describe('What can still be spent.'),
  })
  .meta({ id: 'Account' });

/** What customers have. */
@ApiTags('accounts')
@Controller('accounts')
export class AccountsController {
  constructor(private readonly accounts: Balances) {}

  @Get(':customerId')
  @ApiOperation({ summary: 'How much a customer has' })
  @ApiOkResponse({ standardSchema: accountSchema })
  @ApiProblem(404, 'Nobody of this name has an account')
  async find(@Param('customerId') customerId: string): Promise<z.output<typeof accountSchema>> {
    const account = await this.accounts.find(customerId);
    if (account === undefined) throw new NotFoundException('Nobody of this name has an account here.');
    const { balance, held } = account;
    return { customerId, balance: money(balance), held: money(held), available: money(balance - held) };
  }
}
