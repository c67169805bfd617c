import type { z } from 'zod';

/** @returns one short sentence for each problem that a schema found, with its place. */
export function describeIssues(error: z.ZodError): string[] {
  return error.issues.map((issue) => {
    const place = issue.path.map(String).join('.');
    return place === '' ? issue.message : `${place}: ${issue.message}`;
  });
}
