import { transportConformance } from '../support/conformance.js';
import { grpcRig } from '../support/tcp-rig.js';

transportConformance(grpcRig());
