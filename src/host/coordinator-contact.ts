import type { Logger } from '@nestjs/common';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import type { GuardedBranch } from '../coordinator/guard/index.js';
import type { TlsSource } from '../hop/index.js';
import { type Credentials, MAX_LISTED, bearerOf, inquirySchema, keyOfListed } from '../remote/wire/index.js';
import { CoordinatorConnection, type MemberAnswer } from './coordinator-connection.js';

/** How a host reaches its coordinator: to register its participants, and to ask for decisions. @publicApi */
export interface CoordinatorContactOptions {
  /**
   * The URLs of the members of the coordinator, such as `http://coordinator:3000`. Any of them may answer.
   */
  readonly members: readonly string[];
  /** The token of a participant at the coordinator. */
  readonly credentials: Credentials;
  /**
   * Certificates for https: `ca`, `cert`, `key`, `servername`, or a function such as that of `tlsFrom`.
   *
   * @default those of Node
   */
  readonly tls?: TlsSource | undefined;
  /**
   * The URL at which coordinators reach this host, with its prefix. With it, each participant of the host
   * registers itself, and again when the host has moved.
   *
   * @default it registers none
   */
  readonly address?: string | undefined;
  /** How often it registers again, and asks about branches in doubt, in milliseconds. @default 10_000 */
  readonly intervalMs?: number | undefined;
}

/** The parts of its host that a contact uses. */
export interface ContactedHost {
  readonly names: readonly string[];
  /** @returns branches of a participant in doubt: a page of them, after the given key. */
  inDoubt(participant: string, after?: string): Promise<readonly GuardedBranch[] | undefined>;
  /** Carries out a decision, if the host knows the run of the coordinator. */
  decide(branch: GuardedBranch, decision: 'commit' | 'abort'): Promise<void>;
}

/**
 * The most branches of a participant that are asked about in one pass. The next one continues with the
 * others.
 */
const MAX_ASKED = 100;
/** After so many failures of one participant in a pass, the next pass continues behind them. */
const MAX_FAILED = 3;
/** The most problems that one report names. */
const MAX_REPORTED = 5;

/** A place in the list of branches in doubt of one participant. */
interface Place {
  /** The key after which the page begins. */
  readonly after?: string | undefined;
  /** The branches of the page at the previous look; undefined before the first one. */
  readonly seen?: ReadonlySet<string>;
}

/**
 * Registers the participants of a host at a coordinator, and asks it about branches whose decision does not
 * come.
 */
export class CoordinatorContact {
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private underWay: Promise<void> | undefined;
  /** Where the next pass continues, by participant. */
  private readonly places = new Map<string, Place>();
  /** The member that has answered last. */
  private preferred = 0;
  private problem: string | undefined;
  private readonly options: Required<{
    [K in Exclude<keyof CoordinatorContactOptions, 'tls'>]: CoordinatorContactOptions[K];
  }>;
  private readonly connection: CoordinatorConnection;

  constructor(
    { address, intervalMs = 10_000, tls, ...options }: CoordinatorContactOptions,
    private readonly host: ContactedHost,
    private readonly logger: Pick<Logger, 'log' | 'warn'>,
  ) {
    this.options = { ...options, address, intervalMs };
    this.connection = new CoordinatorConnection(tls);
  }

  start(): void {
    this.timer = setInterval(() => void this.pass(), this.options.intervalMs).unref();
    void this.pass();
  }

  /** Asks nothing more. @returns a promise that resolves when nothing is under way. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort(new Error('the host is about to stop'));
    await this.underWay;
    this.connection.close();
  }

  /** @returns a promise that never rejects. A failed pass is repeated by the next one. */
  pass(): Promise<void> {
    this.underWay ??= this.run()
      .then(
        () => {
          this.problem = undefined;
        },
        (error: unknown) => this.report(messageOf(error)),
      )
      .finally(() => {
        this.underWay = undefined;
      });
    return this.underWay;
  }

  /** A failure ends neither the pass nor what is done for another name: one refusal may last. */
  private async run(): Promise<void> {
    const { address } = this.options;
    const problems: string[] = [];
    for (const name of this.host.names) {
      if (address !== undefined) await this.attempt(problems, () => this.register(name, address));
    }
    for (const name of this.host.names) {
      await this.attempt(problems, () => this.askAboutDoubts(name, problems));
    }
    if (problems.length > 0) throw new Error([...new Set(problems)].slice(0, MAX_REPORTED).join('; '));
  }

  /** @returns whether it has succeeded. @throws the reason of the stop when the host is about to stop. */
  private async attempt(problems: string[], work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.stopping.signal.throwIfAborted();
      problems.push(messageOf(error));
      return false;
    }
  }

  private async register(name: string, address: string): Promise<void> {
    const answer = await this.request('PUT', `/dtc/participants/${name}`, { address });
    if (answer.status !== 200) {
      throw new Error(
        `the coordinator has not registered "${name}": ${answer.status} ${answer.text.slice(0, 200)}`,
      );
    }
  }

  /**
   * Asks only about a branch that was in doubt at an earlier look as well: most decisions come at once. So
   * each page of the list is looked at, then asked about, over as many passes as it needs.
   */
  private async askAboutDoubts(name: string, problems: string[]): Promise<void> {
    const { after, seen } = this.places.get(name) ?? {};
    const page = (await this.host.inDoubt(name, after)) ?? [];
    const isLast = page.length < MAX_LISTED;
    const doubted = page.filter((branch) => seen?.has(keyOfListed(branch)));
    const asked = doubted.slice(0, MAX_ASKED);
    let failed = 0;
    let last: GuardedBranch | undefined;
    for (const branch of asked) {
      if (failed === MAX_FAILED) break;
      last = branch;
      if (!(await this.attempt(problems, () => this.settle(branch)))) failed++;
    }
    const keys = new Set(page.map(keyOfListed));
    if (last !== undefined && last !== doubted.at(-1))
      this.places.set(name, { after: keyOfListed(last), seen: keys });
    else if (seen !== undefined && !isLast) this.places.set(name, { after: keyOfListed(page.at(-1)!) });
    else if (isLast && after !== undefined && seen !== undefined) this.places.delete(name);
    else this.places.set(name, { after, seen: keys });
  }

  private async settle(branch: GuardedBranch): Promise<void> {
    const decision = await this.ask(branch.transactionId);
    if (decision !== 'wait') await this.host.decide(branch, decision);
  }

  private async ask(transactionId: string): Promise<'commit' | 'abort' | 'wait'> {
    const { status, text } = await this.request(
      'GET',
      `/dtc/transactions/${encodeURIComponent(transactionId)}/decision`,
    );
    const answer = status === 200 ? inquirySchema.safeParse(jsonIn(text)) : undefined;
    return answer?.success === true ? answer.data.decision : 'wait';
  }

  /** Tries each member once, the one that has answered last first. No redirect is followed. */
  private async request(method: 'GET' | 'PUT', path: string, body?: object): Promise<MemberAnswer> {
    const { members, credentials } = this.options;
    let failure: unknown;
    for (let attempt = 0; attempt < members.length; attempt++) {
      const index = (this.preferred + attempt) % members.length;
      try {
        const answer = await this.connection.ask(`${members[index]!.replace(/\/$/, '')}${path}`, {
          method,
          authorization: bearerOf(credentials),
          body: body && JSON.stringify(body),
          signal: this.stopping.signal,
        });
        // It may be about to stop, or its log may not answer: another member may do.
        if (answer.status >= 500 && attempt + 1 < members.length) continue;
        this.preferred = index;
        return answer;
      } catch (error) {
        failure = error;
        this.stopping.signal.throwIfAborted();
      }
    }
    throw new Error(`no member of the coordinator has answered (${messageOf(failure)})`, { cause: failure });
  }

  private report(problem: string): void {
    if (this.stopping.signal.aborted || problem === this.problem) return;
    this.problem = problem;
    this.logger.warn(
      `This host could not do everything with its coordinator, and tries again: ${oneLine(problem)}`,
    );
  }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
