/** @module nestjs-dtc/client */
export { type TlsFiles, type TlsSettings, type TlsSource, tlsFrom } from '../hop/index.js';
export { CARRIER_HEADER, TRANSACTION_HEADER } from '../server/wire/index.js';
export {
  type AxiosLike,
  type AxiosRequestLike,
  type CarriedMessage,
  type ClientProxyLike,
  type CurrentTransaction,
  TransactionCarrier,
} from './carrier.js';
export { TransactionClientModule } from './client.module.js';
export type {
  CarrierCredential,
  CarryOptions,
  TokenSource,
  TransactionClientAsyncOptions,
  TransactionClientOptions,
} from './client.options.js';
export {
  CarriedTransactionError,
  CarriedTransactionNeededError,
  CarrierRefusedError,
  CoordinatorRefusedError,
  CoordinatorUnreachableError,
  RequestOutcomeUnknownError,
} from './errors.js';
export { JoinsTransactions, type JoinsTransactionsOptions } from './joining.js';
export { requestIdFrom } from '../coordinator/participant/caller-note.js';
export { Transaction } from './transaction.js';
export {
  type RemoteBeginOnceOptions,
  type RemoteBeginOptions,
  type RemoteBegunOnce,
  type RemoteTransactionRequest,
  TransactionManager,
} from './transaction-manager.js';
export { DistributedTransaction } from '../coordinator/declarative/distributed-transaction.decorator.js';
export type {
  BeginningOptions,
  DistributedTransactionOptions,
  FitsMethod,
  JoiningOptions,
  Propagation,
} from '../coordinator/declarative/distributed-transaction.options.js';
export {
  FailedAfterCommitError,
  InTransactionError,
  InvalidMethodError,
  NotCommittedError,
  NotManagedError,
  RepeatedCallError,
} from '../coordinator/declarative/errors.js';
export {
  CoordinatorError,
  type CoordinatorErrorCode,
  InvalidOptionsError,
  InvalidRequestError,
  NoTransactionError,
  NotActiveError,
  RefusedElsewhereError,
} from '../coordinator/errors.js';
export type {
  AbortedOutcome,
  CommittedOutcome,
  HeuristicOutcome,
  HeuristicReport,
  KnownOutcome,
  Outcome,
  OutcomeOfTransaction,
  PendingOutcome,
} from '../coordinator/outcome.js';
export type { TransactionView } from '../coordinator/observation/transaction-view.js';
export {
  type BranchOptions,
  type BranchRequest,
  type ParticipantReference,
  branch,
} from '../coordinator/participant/branch-request.js';
export { type Credentials, credentialsFrom } from '../remote/wire/bearer.js';
