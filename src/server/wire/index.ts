export * from './answers.js';
export * from './messages.js';
