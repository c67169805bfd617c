import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../../operations/problem/api-problem.decorator.js';
import { money, moneySchema } from '../../common/money.js';
import { Catalogue, skuSchema } from './catalogue.js';
import { StockLevels } from './stock-levels.js';

const itemSchema = z
  .strictObject({
    sku: skuSchema,
    name: z.string(),
    price: moneySchema,
    onHand: z.number().int().min(0).describe('In stock, reserved or not.'),
    reserved: z.number().int().min(0).describe('Promised to orders that are being placed.'),
    available: z.number().int().min(0).describe('Still available for orders.'),
  })
  .meta({ id: 'InventoryItem' });

/** Shows the stock. */
@ApiTags('inventory')
@Controller('inventory')
export class InventoryController {
  constructor(
    private readonly catalogue: Catalogue,
    private readonly stock: StockLevels,
  ) {}

  @Get(':sku')
  @ApiOperation({ summary: 'The stock and the price of a product' })
  @ApiOkResponse({ standardSchema: itemSchema })
  @ApiProblem(404, 'No such product is sold')
  async find(@Param('sku') sku: string): Promise<z.output<typeof itemSchema>> {
    const product = this.catalogue.find(sku);
    if (product === undefined) throw new NotFoundException('No such product is sold here.');
    const { onHand, reserved } = (await this.stock.level(sku)) ?? { onHand: 0, reserved: 0 };
    const { name, price } = product;
    return { sku, name, price: money(price), onHand, reserved, available: onHand - reserved };
  }
}
