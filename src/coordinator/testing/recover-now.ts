import type { INestApplicationContext } from '@nestjs/common';
import { CoordinatorLifecycle } from '../recovery/coordinator-lifecycle.js';

/**
 * Runs the recovery job of an application's coordinator now, without waiting for its interval.
 *
 * @param application a Nest application, or a TestingModule, that imports CoordinatorModule.
 * @returns a promise that resolves when every stalled branch has been tried once.
 * @publicApi
 */
export function recoverNow(application: Pick<INestApplicationContext, 'get'>): Promise<void> {
  return application.get(CoordinatorLifecycle, { strict: false }).recoverNow();
}
