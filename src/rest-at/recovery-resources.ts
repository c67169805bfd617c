import { ConflictException, HttpStatus, NotFoundException } from '@nestjs/common';
import { InvalidRequestError, LogUnavailableError, type TransactionManager } from '../coordinator/index.js';
import type { AllowedAddresses } from '../remote/addresses.js';
import type { BranchAddresses, FoundEnlistment } from './addresses.js';
import { checkedUrl, headerOf, linksIn, participantIn } from './links.js';
import { type Reply, askLater } from './reply.js';
import { isOnePhase } from './rest-at-participant.js';

/** The resources of enlistments, for participants that look for a decision, have moved, or leave. */
export class RecoveryResources {
  constructor(
    private readonly transactions: TransactionManager,
    private readonly addresses: BranchAddresses,
    private readonly allow: AllowedAddresses,
  ) {}

  /** @throws (as a rejection) what {@link RecoveryResources.absent} throws. */
  async show(id: string, enlistment: string): Promise<Reply> {
    const found = this.find(id, enlistment);
    if (found === undefined) return this.absent(id);
    return { code: HttpStatus.OK, headers: { Link: headerOf(found.links) } };
  }

  /**
   * The participant has moved. The decision is delivered at its new address at once.
   *
   * @throws (as a rejection) InvalidRequestError for links that are missing or wrong, AddressRefusedError,
   * LogUnavailableError when the address was taken but is not kept, and what {@link RecoveryResources.absent}
   * throws.
   */
  async move(id: string, enlistment: string, link: string | undefined): Promise<Reply> {
    const links = participantIn(linksIn(link ?? ''), this.allow);
    if (links === undefined) checkedUrl('participant', undefined, this.allow);
    const found = this.find(id, enlistment);
    if (found === undefined) return this.absent(id);
    if (isOnePhase(found.links) !== isOnePhase(links!))
      throw new InvalidRequestError(
        'Link',
        'must say as before whether the participant can commit in one phase',
      );
    const change = await this.addresses.move(id, enlistment, links!).catch((error: unknown) => {
      throw new LogUnavailableError(error instanceof Error ? error.message : String(error));
    });
    switch (change) {
      case 'replaced':
        return { code: HttpStatus.OK };
      case 'over':
        return this.absent(id);
      case 'later':
        throw askLater('The decision is on its way to the log with the former address.');
    }
  }

  /**
   * The participant leaves: it has done nothing, and is asked nothing.
   *
   * @throws (as a rejection) ConflictException once the transaction is being ended, and what {@link
   * RecoveryResources.absent} throws.
   */
  async leave(id: string, enlistment: string): Promise<Reply> {
    const found = this.addresses.find(id, enlistment);
    if (found === undefined) return this.absent(id);
    if (!found.isActive)
      throw new ConflictException('The transaction is being ended, so no participant leaves it.');
    await this.addresses.change(id, enlistment, { links: found.links, hasLeft: true });
    return { code: HttpStatus.OK };
  }

  private find(id: string, enlistment: string): FoundEnlistment | undefined {
    const found = this.addresses.find(id, enlistment);
    return found === undefined || found.isOver || found.hasLeft ? undefined : found;
  }

  /**
   * The coordinator asks nothing of the enlistment any more, or does not know it. A participant takes 404 for
   * abort, so it is the answer only where abort is proven.
   *
   * @throws NotFoundException, or ProblemException with 503.
   */
  private async absent(id: string): Promise<never> {
    const decision = await this.transactions.decisionFor(id);
    if (decision === 'abort')
      throw new NotFoundException('The transaction is rolled back, and asks nothing of this participant.');
    throw askLater(
      decision === 'commit'
        ? 'The transaction has committed, and asks nothing of this participant.'
        : 'It is not known here whether the transaction commits.',
    );
  }
}
