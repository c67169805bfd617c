import { Logger } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PeriodicJob } from './periodic-job.js';

function setUp(work: () => void | Promise<void>) {
  const scheduler = new SchedulerRegistry();
  const spy = vi.fn<() => void | Promise<void>>(work);
  return { scheduler, work: spy, job: new PeriodicJob(scheduler, 'some.job', 100, spy) };
}

describe('PeriodicJob', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it('runs at its pace from its start to its stop', async () => {
    const { job, work, scheduler } = setUp(() => {});
    await vi.advanceTimersByTimeAsync(1_000);
    expect(work).not.toHaveBeenCalled();

    job.start();
    expect(scheduler.doesExist('interval', 'some.job')).toBe(true);
    await vi.advanceTimersByTimeAsync(350);
    expect(work).toHaveBeenCalledTimes(3);

    await job.stop();
    expect(scheduler.doesExist('interval', 'some.job')).toBe(false);
    await vi.advanceTimersByTimeAsync(1_000);
    await job.runNow();
    expect(work).toHaveBeenCalledTimes(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps the process alive only on request, so that a failed start ends it', async () => {
    vi.useRealTimers();
    const { job, scheduler } = setUp(() => {});
    job.start();
    const timer = scheduler.getInterval('some.job') as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(false);
    job.keepAlive();
    expect(timer.hasRef()).toBe(true);
    await job.stop();
  });

  it('skips a start while it runs, and lets further callers wait for that run', async () => {
    const gate = Promise.withResolvers<void>();
    const { job, work } = setUp(() => gate.promise);
    job.start();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(work).toHaveBeenCalledTimes(1);
    const asked = job.runNow();
    expect(job.runNow()).toBe(asked);

    gate.resolve();
    await asked;
    await vi.advanceTimersByTimeAsync(100);
    expect(work).toHaveBeenCalledTimes(2);
    await job.stop();
  });

  it('a stop waits for the current run', async () => {
    const gate = Promise.withResolvers<void>();
    const { job } = setUp(() => gate.promise);
    void job.runNow();
    let isStopped = false;
    const stopping = job.stop().then(() => (isStopped = true));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(isStopped).toBe(false);

    gate.resolve();
    await stopping;
    expect(isStopped).toBe(true);
  });

  it.each<[string, () => void | Promise<void>]>([
    [
      'throws',
      () => {
        throw new Error('scripted');
      },
    ],
    ['rejects', () => Promise.reject(new Error('scripted'))],
  ])('logs why a run that %s has failed, and continues', async (_, failing) => {
    const said = vi.spyOn(Logger.prototype, 'error').mockReturnValue();
    const { job, work } = setUp(() => {});
    work.mockImplementationOnce(failing);
    job.start();
    await vi.advanceTimersByTimeAsync(300);

    expect(work).toHaveBeenCalledTimes(3);
    expect(said.mock.calls).toEqual([[expect.stringMatching(/some\.job.*scripted/)]]);
    await job.stop();
  });

  it('logs a failure, and does not pass it to callers that wait for the run', async () => {
    const said = vi.spyOn(Logger.prototype, 'error').mockReturnValue();
    const { job } = setUp(() => Promise.reject(new Error('scripted')));

    await expect(job.runNow()).resolves.toBeUndefined();
    expect(said).toHaveBeenCalledTimes(1);
  });

  it('accepts a stop before any start and a second stop, and does not start afterwards', async () => {
    const { job, work, scheduler } = setUp(() => {});
    await job.stop();
    await job.stop();
    job.start();
    job.keepAlive();

    expect(scheduler.getIntervals()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    await job.runNow();
    expect(work).not.toHaveBeenCalled();
  });

  it('fails to start when its name is taken, and leaves no timer behind', () => {
    const { scheduler, job } = setUp(() => {});
    job.start();
    const second = new PeriodicJob(scheduler, 'some.job', 100, () => {});

    expect(() => second.start()).toThrow(/some\.job/);
    expect(vi.getTimerCount()).toBe(1);
    return job.stop();
  });
});
