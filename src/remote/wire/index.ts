export { type CallAnswer, type WireAnswer, answers, readAnswer } from './answers.js';
export {
  type BranchCall,
  type CallMethod,
  type ClaimCall,
  type ForgetCall,
  type RecoverCall,
  type WireCall,
  type WireRun,
  keyOfListed,
  participantNameSchema,
  transactionIdSchema,
} from './calls.js';
export { type PayloadProblem, type SentPayload, sentPayload } from './json-payload.js';
export * from './limits.js';
export {
  type IncomingMessage,
  type OutgoingCall,
  type OutgoingMessage,
  type UnreadableCall,
  WireError,
  decodeMessage,
  encodeAnswer,
  encodeCall,
  encodeMessage,
  headOf,
  inMessages,
  messageOf,
} from './messages.js';
export {
  type InquiryAnswer,
  type RegistrationRequest,
  inquirySchema,
  registrationSchema,
} from './registration.js';
export { type Credentials, TokenCheck, bearerOf, credentialsFrom, tokensOf } from './bearer.js';
