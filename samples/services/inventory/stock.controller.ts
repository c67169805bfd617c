import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { Database } from '../common/database.js';

interface Stock {
  readonly sku: string;
  readonly onHand: number;
}

/** Shows the stock. */
@Controller('stock')
export class StockController {
  constructor(private readonly database: Database) {}

  @Get(':sku')
  async find(@Param('sku') sku: string): Promise<Stock> {
    const [stock] = await this.database.query<Stock>(
      'SELECT sku, on_hand AS "onHand" FROM stock WHERE sku = $1',
      [sku],
    );
    if (stock === undefined) throw new NotFoundException('No such product is stocked here.');
    return stock;
  }
}
