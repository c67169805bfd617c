import { startCoordinator } from './coordinator-program.js';
import { endNotStarted } from './start-application.js';

try {
  await startCoordinator(process.env);
} catch (error) {
  endNotStarted(error);
}
