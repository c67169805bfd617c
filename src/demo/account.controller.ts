import { Get, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { z } from 'zod';
import { DemoRoutes } from './demo-routes.decorator.js';
import { DEMO_SETTINGS, type DemoOperator, type DemoSettings } from './demo.settings.js';

const accountSchema = z
  .strictObject({
    name: z.string(),
    token: z.string().describe('For the header Authorization: Bearer, and for the dashboard.'),
  })
  .meta({ id: 'DemoOperator' });

/** Tells the account of an operator that this start has for demonstration. */
@DemoRoutes('demo/account')
export class AccountController {
  constructor(@Inject(DEMO_SETTINGS) private readonly settings: DemoSettings) {}

  @Get()
  @ApiOperation({ summary: 'The operator of this demonstration, until the application ends' })
  @ApiOkResponse({ standardSchema: accountSchema })
  find(): DemoOperator {
    return this.settings.operator;
  }
}
