import { serve } from '../common/serve.js';
import { participantSettings } from '../common/settings.js';
import { InventoryModule } from './inventory.module.js';

const settings = participantSettings(process.env);
await serve(InventoryModule.forRoot(settings), settings);
