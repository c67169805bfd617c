/** What can be wrong with a world on purpose, so that the search must find that it violates a property. */
export const DEFECTS = {
  'an error of the log is taken for abort': 'M2',
  'recovery reads before it claims': 'fault 29',
  'an adopter trusts the lease, and does not fence': 'M4',
  'the log forgets the outcome at the end': 'told = actual',
  'the end is recorded before all have acknowledged': 'fault 47',
  'recovery touches live transactions': 'fault 52',
  'no tombstone': 'fault 10',
  'the log takes a record of an old epoch': 'fault 28',
  'the log takes a record of an old incarnation': 'M2',
  'a fenced coordinator presumes abort': 'fault 28',
  'any coordinator presumes abort': 'fault 30',
  'commit is sent before the record is there': 'rule 1',
  'a record found is not restored': 'M4',
  'a branch is enlisted after the voting began': 'fault 4',
  'attempts used up count as an acknowledgement': 'fault 36',
  'the acknowledgement of an overtaken rollback counts': 'rule 3',
  'a one-phase commit without answer counts as abort': 'fault 7',
  'no recovery': 'AC5',
} as const;

export type Defect = keyof typeof DEFECTS;
