import type { ReadingKeys } from '@dormouse/checkpoint';
import type { PagerKeys } from '@dormouse/pager-control';

export function decodeKeys({ keyId, dataKey, contentKey }: PagerKeys): ReadingKeys {
  return {
    dataKey: { keyId, key: Buffer.from(dataKey, 'base64') },
    contentKey: Buffer.from(contentKey, 'base64'),
  };
}
