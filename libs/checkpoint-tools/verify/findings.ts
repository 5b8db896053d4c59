import { isDormouseError, type DormouseError, type ErrorCode } from '@dormouse/errors';
import type { Report, Severity } from '../report';

/** One thing that is wrong with a checkpoint. */
export interface Finding {
  readonly severity: Severity;
  readonly code: ErrorCode;
  /** Key of the object, or name of the disk source. */
  readonly object: string;
  /** Byte in the object at which the damaged part begins, where that is known. */
  readonly offset: number | null;
  /** A page of the guest that it costs, where that is known. */
  readonly page: number | null;
  readonly message: string;
}

/** A checkpoint of which nothing is left would have a finding for every page. */
const mostListed = 1000;

export class Findings {
  readonly listed: Finding[] = [];
  /** Found besides those listed. */
  unlisted = 0;

  readonly report: Report = ({ code, message, details }, severity = 'error') => {
    if (this.listed.length === mostListed) {
      this.unlisted++;
      return;
    }
    const { object, key, offset, page } = details;
    this.listed.push({
      severity,
      code,
      object: textOr(object ?? key, ''),
      offset: numberOr(offset, null),
      page: numberOr(page, null),
      message,
    });
  };

  /** The result of `work`, or null when it failed with an error of ours, which is a finding then. */
  async attempt<T>(work: () => T | Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      this.report(error);
      return null;
    }
  }
}

type Detail = DormouseError['details'][string] | undefined;

const textOr = (value: Detail, otherwise: string): string => (typeof value === 'string' ? value : otherwise);
const numberOr = (value: Detail, otherwise: null): number | null => (typeof value === 'number' ? value : otherwise);
