import { setTimeout as delay } from 'node:timers/promises';
import { type Ended, type MemberLine, MemberProcess } from '../../src/cluster/member-process.js';
import type { Groups, ProcessPlan } from './plan.js';

/** The output for people. */
export interface FleetReports {
  /** A line of a process. */
  line(name: string, line: MemberLine): void;
  /** A line about the processes. */
  say(text: string): void;
}

/** How long a clean stop of a process may take. */
const STOP_WITHIN_MS = 30_000;
/** If a process ends more often than this in that time, a restart does not help. */
const MOST_ENDS = 5;
const ENDS_WITHIN_MS = 60_000;

/**
 * Processes that run together. A process that ends by itself is reported and started again. If it cannot be
 * kept running, all processes end.
 */
export class Fleet {
  private readonly running = new Map<string, MemberProcess>();
  private readonly starting = new Map<string, Promise<void>>();
  /** The processes that a person has stopped. */
  private readonly stopped = new Set<string>();
  private readonly ends = new Map<string, number[]>();
  private readonly end = new AbortController();
  private readonly failure = Promise.withResolvers<string>();
  /** Resolves with the reason when a process has ended too often. */
  readonly failed = this.failure.promise;

  /**
   * @param startOrder the groups in the order in which they start.
   * @param stopOrder the same processes in the order in which they stop.
   * @param restartAfterMs the pause before a process is started again.
   */
  constructor(
    private readonly startOrder: Groups,
    private readonly stopOrder: Groups,
    private readonly reports: FleetReports,
    private readonly restartAfterMs: number,
  ) {}

  /**
   * Starts all processes, unless {@link stop} comes first.
   *
   * @throws MemberNotStartedError when one of them does not start.
   */
  async start(): Promise<void> {
    for (const group of this.startOrder) await Promise.all(group.map((plan) => this.startOne(plan)));
  }

  /** @returns the process; undefined while it does not run. */
  find(name: string): MemberProcess | undefined {
    return this.running.get(name);
  }

  /** @returns a promise that resolves when the process runs: at once, or when it was started again. */
  async runs(name: string): Promise<MemberProcess> {
    for (;;) {
      const process = this.running.get(name);
      if (process !== undefined) return process;
      await (this.starting.get(name) ?? delay(10));
    }
  }

  /**
   * Does what a person has typed: `kill`, `stop` or `start`, and the name of a process.
   *
   * @returns a promise that resolves when it is done; it never rejects.
   */
  async command(line: string): Promise<void> {
    const [verb, name, ...more] = line.trim().split(/\s+/);
    if (verb === '') return;
    const plan = this.plans.find((each) => each.name === name);
    if (plan === undefined || more.length > 0 || !['kill', 'stop', 'start'].includes(verb!)) {
      const names = this.plans.map((each) => each.name).join(', ');
      this.reports.say(`"${line.trim()}" is no command. Type kill, stop or start, and one of ${names}.`);
      return;
    }
    const process = this.running.get(plan.name);
    if (verb === 'start') await this.startAgain(plan);
    else if (process === undefined) this.reports.say(`${plan.name} does not run.`);
    else if (verb === 'kill') process.signal('SIGKILL');
    else {
      this.stopped.add(plan.name);
      await this.stopProcess(process);
      this.reports.say(`To start it again, type "start ${plan.name}" and press Enter.`);
    }
  }

  /** Stops all processes. Those that others need stop last. It waits for a start that is under way. */
  async stop(): Promise<void> {
    this.end.abort();
    await Promise.allSettled(this.starting.values());
    for (const group of this.stopOrder) {
      const processes = group.flatMap(({ name }) => this.running.get(name) ?? []);
      await Promise.all(processes.map((process) => this.stopProcess(process)));
    }
  }

  /** Ends all processes at once. Nothing is lost: the next start continues. */
  kill(): void {
    this.end.abort();
    for (const process of this.running.values()) process.signal('SIGKILL');
  }

  private get plans(): readonly ProcessPlan[] {
    return this.startOrder.flat();
  }

  private async startAgain(plan: ProcessPlan): Promise<void> {
    if (this.running.has(plan.name) || this.starting.has(plan.name) || this.end.signal.aborted) {
      this.reports.say(`${plan.name} runs already, or is being started or stopped.`);
      return;
    }
    this.stopped.delete(plan.name);
    try {
      await this.startOne(plan);
    } catch (error) {
      this.reports.say((error as Error).message);
    }
  }

  private startOne(plan: ProcessPlan): Promise<void> {
    const started = this.spawn(plan).finally(() => this.starting.delete(plan.name));
    this.starting.set(plan.name, started);
    return started;
  }

  private async spawn(plan: ProcessPlan): Promise<void> {
    if (this.end.signal.aborted) return;
    const { name, program, environment } = plan;
    const process = await MemberProcess.start(name, program, environment, (line) =>
      this.reports.line(name, line),
    );
    this.running.set(name, process);
    this.reports.say(`${name} listens on ${process.url} (process ${process.pid})`);
    void process.ended.then((ended) => this.hasEnded(plan, ended));
  }

  private async stopProcess(process: MemberProcess): Promise<void> {
    const { code, signal } = await process.stop(STOP_WITHIN_MS);
    const how = signal === null ? (code === 0 ? 'cleanly' : `with code ${code}`) : `by ${signal}`;
    this.reports.say(`${process.name} has stopped ${how}`);
  }

  private hasEnded(plan: ProcessPlan, { code, signal }: Ended): void {
    this.running.delete(plan.name);
    if (this.end.signal.aborted || this.stopped.has(plan.name)) return;
    void this.restart(plan, signal === null ? `ended with code ${code}` : `was ended by ${signal}`);
  }

  private async restart(plan: ProcessPlan, how: string): Promise<void> {
    const { name } = plan;
    for (let reason = `${name} ${how}.`; !this.hasEndedTooOften(name);) {
      this.reports.say(`${reason} It is started again in ${this.restartAfterMs / 1_000} s.`);
      await delay(this.restartAfterMs, undefined, { signal: this.end.signal }).catch(() => {});
      if (this.end.signal.aborted || this.stopped.has(name) || this.starting.has(name)) return;
      try {
        return await this.startOne(plan);
      } catch (error) {
        reason = (error as Error).message;
      }
    }
    this.failure.resolve(
      `${name} has ended ${MOST_ENDS} times within ${ENDS_WITHIN_MS / 1_000} s. Its last lines say why.`,
    );
  }

  private hasEndedTooOften(name: string): boolean {
    const now = performance.now();
    const ends = [...(this.ends.get(name) ?? []), now].filter((at) => now - at < ENDS_WITHIN_MS);
    this.ends.set(name, ends);
    return ends.length >= MOST_ENDS;
  }
}
