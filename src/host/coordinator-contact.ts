import type { Logger } from '@nestjs/common';
import { messageOf } from '../coordinator/gate/texts.js';
import type { GuardedBranch } from '../coordinator/guard/index.js';
import { type Credentials, bearerOf, inquirySchema } from '../remote/wire/index.js';

/** How a host reaches its coordinator: to register its participants, and to ask for decisions. @publicApi */
export interface CoordinatorContactOptions {
  /** The URLs of the members of the coordinator, such as `http://coordinator:3000`. Any of them may answer. */
  readonly members: readonly string[];
  /** The token of a participant at the coordinator. */
  readonly credentials: Credentials;
  /**
   * The URL at which coordinators reach this host, with its prefix. With it, each participant of the host registers
   * itself, and again when the host has moved.
   *
   * @default it registers none
   */
  readonly address?: string | undefined;
  /** How often it registers again, and asks about branches in doubt, in milliseconds. @default 10_000 */
  readonly intervalMs?: number | undefined;
}

/** What a contact needs of its host. */
export interface ContactedHost {
  readonly names: readonly string[];
  /** @returns branches of a participant in doubt. */
  inDoubt(participant: string): Promise<readonly GuardedBranch[] | undefined>;
  /** Carries out a decision, if the host knows the run of the coordinator. */
  decide(branch: GuardedBranch, decision: 'commit' | 'abort'): Promise<void>;
}

const TIMEOUT_MS = 5_000;
/** The most branches that are asked about in one pass. The next one continues with the others. */
const MAX_ASKED = 100;
/** Far larger than any answer. */
const MAX_ANSWER_LENGTH = 10_000;

/** Registers the participants of a host at a coordinator, and asks it about branches whose decision does not come. */
export class CoordinatorContact {
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private underWay: Promise<void> | undefined;
  /** The branches that were in doubt in the previous pass. */
  private doubtedBefore: ReadonlySet<string> = new Set();
  /** The member that has answered last. */
  private preferred = 0;
  private problem: string | undefined;
  private readonly options: Required<{
    [K in keyof CoordinatorContactOptions]: CoordinatorContactOptions[K];
  }>;

  constructor(
    { address, intervalMs = 10_000, ...options }: CoordinatorContactOptions,
    private readonly host: ContactedHost,
    private readonly logger: Pick<Logger, 'log' | 'warn'>,
  ) {
    this.options = { ...options, address, intervalMs };
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

  private async run(): Promise<void> {
    if (this.options.address !== undefined) await this.registerAll(this.options.address);
    await this.askAboutDoubts();
  }

  private async registerAll(address: string): Promise<void> {
    for (const name of this.host.names) {
      const answer = await this.request('PUT', `/dtc/participants/${name}`, { address });
      if (answer.status !== 200) {
        throw new Error(
          `the coordinator has not registered "${name}": ${answer.status} ${answer.text.slice(0, 200)}`,
        );
      }
    }
  }

  /** Only a branch that was in doubt in the pass before as well: most decisions come at once. */
  private async askAboutDoubts(): Promise<void> {
    const doubted = new Set<string>();
    let asked = 0;
    for (const name of this.host.names) {
      for (const branch of (await this.host.inDoubt(name)) ?? []) {
        const key = `${name}/${branch.transactionId}/${branch.branchId}`;
        doubted.add(key);
        if (!this.doubtedBefore.has(key) || asked++ >= MAX_ASKED) continue;
        const decision = await this.ask(branch.transactionId);
        if (decision !== 'wait') await this.host.decide(branch, decision);
      }
    }
    this.doubtedBefore = doubted;
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
  private async request(
    method: 'GET' | 'PUT',
    path: string,
    body?: object,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { members, credentials } = this.options;
    let failure: unknown;
    for (let attempt = 0; attempt < members.length; attempt++) {
      const index = (this.preferred + attempt) % members.length;
      try {
        const response = await fetch(`${members[index]!.replace(/\/$/, '')}${path}`, {
          method,
          redirect: 'error',
          signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), this.stopping.signal]),
          headers: { Authorization: bearerOf(credentials), 'Content-Type': 'application/json' },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
        const text = (await response.text()).slice(0, MAX_ANSWER_LENGTH);
        // It may be about to stop, or its log may not answer: another member may do.
        if (response.status >= 500 && attempt + 1 < members.length) continue;
        this.preferred = index;
        return { status: response.status, text };
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
    this.logger.warn(`The coordinator was not reached by this host, which tries again: ${problem}`);
  }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
