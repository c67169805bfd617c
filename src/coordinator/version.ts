/** The version of the package: the same as in packages/nestjs-dtc/package.json, which a test compares. */
export const VERSION = '0.1.0';
