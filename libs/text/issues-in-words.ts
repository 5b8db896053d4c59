import type { z } from 'zod';

type Issue = z.core.$ZodIssue;

/**
 * Every problem that a schema has found, a sentence each: `disks.0.image is required`.
 * @param value what the schema was given: a field that is missing in it is told so
 */
export function issuesInWords(issues: readonly Issue[], value: unknown): readonly string[] {
  return issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => `${pathOf([...issue.path, key])} is not a field here`)
      : [`${pathOf(issue.path)} ${problemOf(issue, value)}`.trimStart()],
  );
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

function problemOf(issue: Issue, value: unknown): string {
  if (issue.path.length > 0 && valueAt(value, issue.path) === undefined && issue.code !== 'custom')
    return 'is required';
  // A schema that has words of its own is taken at them; the library's begin like this.
  if (!/^(Invalid|Too)\b/.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${kinds[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `must ${issue.origin in units ? 'have' : 'be'} at least ${sized(issue.origin, issue.minimum)}`;
    case 'too_big':
      return `must ${issue.origin in units ? 'have' : 'be'} at most ${sized(issue.origin, issue.maximum)}`;
    case 'invalid_format':
      return issue.format === 'uuid' ? 'must be a UUID' : `must match ${issue.pattern ?? issue.format}`;
    case 'invalid_union':
      return `must be one of the known kinds${issue.discriminator === undefined ? '' : ` of \`${issue.discriminator}\``}`;
    default:
      return issue.message;
  }
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

const units: Readonly<Record<string, string>> = { string: 'characters', array: 'items' };

function sized(origin: string, size: number | bigint): string {
  const unit = units[origin];
  return unit === undefined ? String(size) : `${size} ${size === 1 ? unit.slice(0, -1) : unit}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}
