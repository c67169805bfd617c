/** The version of the package: the same as in packages/nestjs-dtc/package.json, which a test compares. */
export const VERSION = '1.0.0-rc.1';
