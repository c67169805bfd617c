import type { INestApplicationContext } from '@nestjs/common';
import { CoordinatorLifecycle } from '../recovery/coordinator-lifecycle.js';
import { settled } from './manual-clock.js';

/**
 * Runs the recovery job of an application's coordinator now, without waiting for its interval.
 *
 * @param application a Nest application, or a TestingModule, that imports CoordinatorModule.
 * @returns a promise that resolves when every stalled branch has been tried once, and every running call that
 * waits for no timer and no I/O has been answered.
 * @publicApi
 */
export async function recoverNow(application: Pick<INestApplicationContext, 'get'>): Promise<void> {
  await application.get(CoordinatorLifecycle, { strict: false }).recoverNow();
  await settled();
}
