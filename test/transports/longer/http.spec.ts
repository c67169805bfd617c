import { httpRig } from '../support/http-rig.js';
import { transportConformance } from '../support/conformance.js';

transportConformance(httpRig());
