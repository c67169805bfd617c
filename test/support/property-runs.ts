/** How many runs each random property has in `npm test`. */
const IN_TESTS = 2_000;

/** How many runs each random property has: `PROPERTY_RUNS`, which `npm run test:ci` sets to 10,000. */
export const PROPERTY_RUNS = Number(process.env['PROPERTY_RUNS'] ?? IN_TESTS);
