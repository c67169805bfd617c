/** A moment that has not come. */
export const NOT_YET = -1;

/** Never: nothing is due. */
export const NEVER = Number.POSITIVE_INFINITY;
