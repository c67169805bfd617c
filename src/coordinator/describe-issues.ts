import type { z } from 'zod';

/** @returns one short sentence for each thing that a schema found wrong, with the place it was found at. */
export function describeIssues(error: z.ZodError): string[] {
  return error.issues.map((issue) => {
    const place = issue.path.map(String).join('.');
    return place === '' ? issue.message : `${place}: ${issue.message}`;
  });
}
