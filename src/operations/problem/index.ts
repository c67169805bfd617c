/** @module nestjs-dtc/problem */
export { ProblemFilter, TransactionProblemFilter } from './problem.filter.js';
export { type Problem, ProblemException, problemOf } from './problem.js';
