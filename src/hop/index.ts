export { followed } from './followed-file.js';
export {
  type SecureRequest,
  type TlsFiles,
  type TlsSettings,
  type TlsSource,
  problemsOfTls,
  secureRequest,
  tlsFrom,
} from './tls.js';
export { isRefusedCertificate, tlsProblemOf } from './tls-problems.js';
