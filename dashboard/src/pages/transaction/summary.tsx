import type { ComponentChildren } from 'preact';
import type { OwnedTransaction } from '../../api/views.js';
import { TransactionMarks } from '../../components/marks.js';
import { Moment } from '../../components/moment.js';
import { attentionOf, nextOf } from '../../words/attention.js';
import { formatAge, formatDuration } from '../../words/durations.js';
import { transactionHref } from '../../route.js';
import { nameOfOwner } from '../../words/owners.js';

interface Props {
  readonly transaction: OwnedTransaction;
  readonly nowMs: number;
}

/** The state of a transaction, its cause, and what happens next. */
export function Summary({ transaction, nowMs }: Props) {
  const { decision, inDoubt, cause, reason, startedAt, deadlineAt, decidedAt, endedAt, durationMs } =
    transaction;
  const { owner, group } = transaction;
  const attention = attentionOf(transaction, nowMs);
  return (
    <div class={attention === undefined ? 'summary' : 'summary summary-alarm'}>
      <TransactionMarks transaction={transaction} />
      {attention?.why.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      {cause !== null && (
        <p>
          Aborted: {reason ?? 'no reason was given'} <span class="mono quiet">{cause}</span>
        </p>
      )}
      <dl class="facts">
        <Fact name="What happens next">{nextOf(transaction, nowMs)}</Fact>
        <Fact name="Decision">{decision ?? (inDoubt ? 'not known' : 'not made yet')}</Fact>
        {group !== undefined && (
          <Fact name="Group">
            {group.id === transaction.transactionId ? (
              'this one'
            ) : (
              <a href={transactionHref(group.id)}>{group.id}</a>
            )}
            : {group.size} members, run {group.runs}
          </Fact>
        )}
        {Object.entries(transaction.attributes ?? {}).map(([name, value]) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
        {owner !== null && <Fact name="Owner">{nameOfOwner(owner)}</Fact>}
        <Fact name="Began">
          <Moment iso={startedAt} />
        </Fact>
        <Fact name="Decided">{decidedAt === null ? '–' : <Moment iso={decidedAt} />}</Fact>
        {decision === null && (
          <Fact name="Deadline">
            <Moment iso={deadlineAt} />
          </Fact>
        )}
        <Fact name="Ended">{endedAt === null ? '–' : <Moment iso={endedAt} />}</Fact>
        <Fact name={durationMs === null ? 'Age' : 'Took'}>
          {durationMs === null ? formatAge(nowMs - Date.parse(startedAt)) : formatDuration(durationMs)}
        </Fact>
      </dl>
    </div>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
