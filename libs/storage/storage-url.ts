import { fileURLToPath } from 'node:url';
import { DormouseError } from '@dormouse/errors';
import { isBlobKey } from './blob-key';

export type StorageLocation = FileLocation | S3Location;

export interface FileLocation {
  readonly kind: 'file';
  readonly root: string;
}

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** What every key begins with in the bucket: empty, or ending with a slash. */
  readonly prefix: string;
  readonly region: string;
  /** Undefined: where AWS has this region's S3. */
  readonly endpoint: string | undefined;
  readonly forcePathStyle: boolean;
  /** Undefined: as the AWS SDK finds them (AWS_ACCESS_KEY_ID, profile, instance role, …). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
}

const knownParameters = new Set(['endpoint', 'region', 'forcePathStyle']);

/**
 * `file:///path` or `s3://[accessKeyId:secretAccessKey@]bucket[/prefix][?endpoint=…&region=…&forcePathStyle=…]`.
 * What the URL leaves out comes from AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL.
 * @throws CONFIG_INVALID, which never repeats the URL: there may be a secret in it.
 */
export function parseStorageUrl(text: string, environment: NodeJS.ProcessEnv = process.env): StorageLocation {
  if (!URL.canParse(text)) throw invalid('it is not a URL');
  const url = new URL(text);
  if (url.protocol === 'file:') return parseFileUrl(url);
  if (url.protocol === 's3:') return parseS3Url(url, environment);
  throw invalid(`nothing here speaks '${url.protocol}'`);
}

function parseFileUrl(url: URL): FileLocation {
  if (url.host !== '') throw invalid(`'${url.host}' stands where a host would: a path needs three slashes, file:///…`);
  if (url.search !== '') throw invalid('a file URL takes no parameters');
  try {
    return { kind: 'file', root: fileURLToPath(url) };
  } catch (error) {
    throw invalid((error as Error).message);
  }
}

function parseS3Url(url: URL, environment: NodeJS.ProcessEnv): S3Location {
  const unknown = [...url.searchParams.keys()].find((name) => !knownParameters.has(name));
  if (unknown !== undefined) throw invalid(`s3 knows no parameter '${unknown}'`);
  if (url.hostname === '') throw invalid('the name of the bucket is missing');
  const folder = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, '');
  if (folder !== '' && !isBlobKey(folder)) throw invalid(`'${folder}' cannot be a prefix of keys`);
  const region = url.searchParams.get('region') ?? environment['AWS_REGION'] ?? environment['AWS_DEFAULT_REGION'];
  const endpoint =
    url.searchParams.get('endpoint') ?? environment['AWS_ENDPOINT_URL_S3'] ?? environment['AWS_ENDPOINT_URL'];
  if (endpoint !== undefined && !(/^https?:/.test(endpoint) && URL.canParse(endpoint))) {
    throw invalid('its endpoint is not an http or https URL');
  }
  // Other servers than Amazon's rarely care for the region, but it is part of every signature.
  if (region === undefined && endpoint === undefined)
    throw invalid('the region is missing: add ?region=… or AWS_REGION');
  return {
    kind: 's3',
    bucket: url.hostname,
    prefix: folder === '' ? '' : `${folder}/`,
    region: region ?? 'us-east-1',
    endpoint,
    forcePathStyle: parseBoolean('forcePathStyle', url.searchParams.get('forcePathStyle')) ?? endpoint !== undefined,
    credentials: parseCredentials(url),
  };
}

function parseCredentials(url: URL): S3Location['credentials'] {
  if (url.username === '' && url.password === '') return undefined;
  if (url.username === '' || url.password === '') throw invalid('only one half of the credentials is in it');
  return { accessKeyId: decodeURIComponent(url.username), secretAccessKey: decodeURIComponent(url.password) };
}

function parseBoolean(name: string, text: string | null): boolean | undefined {
  if (text === null) return undefined;
  if (text !== 'true' && text !== 'false') throw invalid(`${name} is neither true nor false`);
  return text === 'true';
}

function invalid(why: string): DormouseError {
  return new DormouseError(
    'CONFIG_INVALID',
    `the storage URL cannot be used: ${why}. It reads file:///path or s3://bucket/prefix?endpoint=…&region=…`,
  );
}
