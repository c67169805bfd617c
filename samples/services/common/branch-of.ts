import { type BranchRequest, branch } from 'nestjs-dtc/client';
import type { Branches } from '../contract.js';

/** As `branch` of the library, with a payload that the compiler checks against the contract. */
export function branchOf<Name extends keyof Branches>(
  participant: Name,
  payload: Branches[Name],
): BranchRequest {
  return branch(participant, payload);
}
