import { endNotStarted, startApplication } from './start-application.js';

try {
  await startApplication(process.env);
} catch (error) {
  endNotStarted(error);
}
