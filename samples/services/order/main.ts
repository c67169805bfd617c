import { serve } from '../common/serve.js';
import { participantSettings } from '../common/settings.js';
import { OrderModule } from './order.module.js';

const settings = participantSettings(process.env);
await serve(OrderModule.forRoot(settings), settings);
