import { natsRig } from '../support/broker-rigs.js';
import { isInstalled } from '../support/brokers.js';
import { transportConformance } from '../support/conformance.js';

transportConformance(natsRig(), isInstalled('nats-server'));
