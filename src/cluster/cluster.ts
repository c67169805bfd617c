import { type Ended, type MemberLine, MemberProcess } from './member-process.js';

/** The settings of each member. */
export interface MemberSettings {
  readonly name: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** The output for people. */
export interface Reports {
  /** A line of a member. */
  line(member: string, line: MemberLine): void;
  /** A line of the cluster itself. */
  say(text: string): void;
}

/** Longer than a member takes that stops cleanly: twice its grace period, and some seconds. */
const STOP_WITHIN_MS = 30_000;

/**
 * Members of one coordinator on this machine, each a process. A member that ends is not started again by
 * itself.
 */
export class Cluster {
  private readonly members = new Map<string, MemberProcess>();
  private readonly starting = new Map<string, Promise<void>>();
  private readonly stopping = new Set<MemberProcess>();
  private isStarted = false;
  private isStopped = false;
  private readonly lastEnded = Promise.withResolvers<void>();
  /** Resolves after {@link start}, when every member has ended and none is being started. */
  readonly allEnded = this.lastEnded.promise;

  /** @param program of a member. */
  constructor(
    private readonly program: string,
    private readonly settings: readonly MemberSettings[],
    private readonly reports: Reports,
  ) {}

  /** The members that run, in the order of their numbers. */
  get running(): readonly MemberProcess[] {
    return this.settings.flatMap(({ name }) => this.members.get(name) ?? []);
  }

  /**
   * Starts all members, unless {@link stop} comes first: the first one, which makes the tables of the log,
   * and then the others.
   *
   * @throws MemberNotStartedError when one of them does not start.
   */
  async start(): Promise<void> {
    const [first, ...others] = this.settings.map(({ name }) => name);
    await this.startUnlessStopped(first!);
    await Promise.all(others.map((name) => this.startUnlessStopped(name)));
    this.isStarted = true;
    this.checkEnd();
  }

  /**
   * Does what a person types: `start`, `stop` or `kill`, and the number of a member.
   *
   * @returns a promise that resolves when it is done; it is never a rejection.
   */
  async command(line: string): Promise<void> {
    const [, verb, number] = /^\s*(start|stop|kill)\s+(\d+)\s*$/.exec(line) ?? [];
    const settings = this.settings[Number(number) - 1];
    if (verb === undefined || settings === undefined) {
      if (line.trim() !== '') {
        this.reports.say(
          `"${line.trim()}" is no command. Type start, stop or kill, and 1 to ${this.settings.length}.`,
        );
      }
      return;
    }
    const { name } = settings;
    const member = this.members.get(name);
    if (verb === 'start') await this.startAgain(name);
    else if (member === undefined) this.reports.say(`${name} does not run.`);
    else if (verb === 'kill') member.signal('SIGKILL');
    else {
      await this.stopMember(member);
      this.reports.say(howToStart(name, Number(number)));
    }
  }

  /** Stops the members one after the other: each hands over to those after it. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.allSettled(this.starting.values());
    for (const member of this.running) await this.stopMember(member);
  }

  /** Ends the members at once. Their decisions are in the log. */
  kill(): void {
    this.isStopped = true;
    for (const member of this.members.values()) member.signal('SIGKILL');
  }

  private async startAgain(name: string): Promise<void> {
    if (this.members.has(name) || this.starting.has(name) || this.isStopped) {
      this.reports.say(`${name} runs already, or is being started or stopped.`);
      return;
    }
    try {
      await this.startMember(name);
    } catch (error) {
      this.reports.say((error as Error).message);
    }
  }

  private async startUnlessStopped(name: string): Promise<void> {
    if (!this.isStopped) await this.startMember(name);
  }

  private startMember(name: string): Promise<void> {
    const started = this.startOne(name).finally(() => {
      this.starting.delete(name);
      this.checkEnd();
    });
    this.starting.set(name, started);
    return started;
  }

  private async startOne(name: string): Promise<void> {
    const { environment } = this.settings.find((each) => each.name === name)!;
    const onLine = (line: MemberLine): void => this.reports.line(name, line);
    const member = await MemberProcess.start(name, this.program, environment, onLine);
    this.members.set(name, member);
    this.reports.say(`${name} listens on ${member.url} (process ${member.pid})`);
    void member.ended.then((ended) => this.hasEnded(member, ended));
  }

  private async stopMember(member: MemberProcess): Promise<void> {
    this.stopping.add(member);
    const { code, signal } = await member.stop(STOP_WITHIN_MS);
    const how = signal === null ? (code === 0 ? 'cleanly' : `with code ${code}`) : `by ${signal}`;
    this.reports.say(`${member.name} has stopped ${how}`);
  }

  private hasEnded(member: MemberProcess, { code, signal }: Ended): void {
    const { name } = member;
    this.members.delete(name);
    if (!this.stopping.delete(member) && !this.isStopped) {
      const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
      const number = this.settings.findIndex((each) => each.name === name) + 1;
      const others =
        this.members.size === 0
          ? 'No other member runs, so its transactions wait for the next start.'
          : 'Another member takes over its transactions within seconds.';
      this.reports.say(`${name} ${how}. ${others} ${howToStart(name, number)}`);
    }
    this.checkEnd();
  }

  private checkEnd(): void {
    if (this.isStarted && this.members.size === 0 && this.starting.size === 0) this.lastEnded.resolve();
  }
}

function howToStart(name: string, number: number): string {
  return `To start ${name} again, type "start ${number}" and press Enter.`;
}
