/** @module nestjs-dtc/testing */
export {
  type ConformanceCase,
  type DecisionLogStorage,
  decisionLogConformance,
} from './decision-log-conformance.js';
export { ManualClock, settled } from './manual-clock.js';
export { recoverNow } from './recover-now.js';
export {
  type Behaviour,
  type Effect,
  type ParticipantScript,
  type RecordedCall,
  type Script,
  ScriptedParticipant,
} from './scripted-participant.js';
export {
  type LastResourceBehaviour,
  type LastResourceCall,
  type LastResourceScript,
  ScriptedLastResource,
} from './scripted-last-resource.js';
export {
  type TestCoordinator,
  type TestCoordinatorOptions,
  createTestCoordinator,
} from './test-coordinator.js';
