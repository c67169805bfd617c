import { serve } from '../common/serve.js';
import { participantSettings } from '../common/settings.js';
import { PaymentModule } from './payment.module.js';

const settings = participantSettings(process.env);
await serve(PaymentModule.forRoot(settings), settings);
