import { serve } from '../common/serve.js';
import { gatewaySettings } from '../common/settings.js';
import { GatewayModule } from './gateway.module.js';

const settings = gatewaySettings(process.env);
await serve(GatewayModule.forRoot(settings), settings);
