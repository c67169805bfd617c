/** @module nestjs-dtc/operations */
export type {
  AccessOptions,
  AdmittedCaller,
  Authorize,
  OperationsAccess,
  Caller,
  Credential,
  Role,
} from './access/access.js';
export { type TlsFiles, type TlsSettings, type TlsSource, tlsFrom } from '../hop/index.js';
export { ForbiddenError, UnauthenticatedError } from './access/access-errors.js';
export { CoordinatorHealthIndicator } from './coordinator-health.indicator.js';
export { DASHBOARD_FOLDER } from './dashboard.controller.js';
export type { LinkTemplate, PageLink } from './links.js';
export { CoordinatorMetrics } from './metrics/coordinator-metrics.js';
export { MetricsModule } from './metrics/metrics.module.js';
export { MemberUnreachableError, OutcomeUnknownError } from './members/member-errors.js';
export type { MembersOptions } from './members/member-tokens.js';
export type {
  OperationsAsyncOptions,
  OperationsConfiguration,
  OperationsOptions,
  OperationsRoutes,
} from './operations.options.js';
export { OperationsModule } from './operations.module.js';
export {
  type Problem,
  ProblemException,
  ProblemFilter,
  TransactionProblemFilter,
  problemOf,
} from './problem/index.js';
export { TooManyExportsError } from './export.js';
export { TooManyStreamsError } from './overview-stream.js';
