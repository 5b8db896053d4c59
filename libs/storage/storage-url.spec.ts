import { parseStorageUrl } from './storage-url';

test('a file URL is a directory, percent signs and all', () => {
  expect(parseStorageUrl('file:///srv/my%20desktops', {})).toEqual({ kind: 'file', root: '/srv/my desktops' });
});

test('an s3 URL says bucket, prefix, endpoint, region and credentials', () => {
  const url = 's3://id:sec%2Fret@bucket/some/prefix/?endpoint=http://127.0.0.1:9000&region=eu-1';
  expect(parseStorageUrl(url, {})).toEqual({
    kind: 's3',
    bucket: 'bucket',
    prefix: 'some/prefix/',
    endpoint: 'http://127.0.0.1:9000',
    region: 'eu-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'id', secretAccessKey: 'sec/ret' },
  });
});

test('what an s3 URL leaves out comes from the standard environment', () => {
  expect(parseStorageUrl('s3://bucket', { AWS_REGION: 'eu-2' })).toEqual({
    kind: 's3',
    bucket: 'bucket',
    prefix: '',
    endpoint: undefined,
    region: 'eu-2',
    forcePathStyle: false,
    credentials: undefined,
  });
  expect(parseStorageUrl('s3://bucket', { AWS_ENDPOINT_URL_S3: 'https://minio.example' })).toMatchObject({
    endpoint: 'https://minio.example',
    forcePathStyle: true,
  });
});

test.each([
  ['', 'not a URL'],
  ['/srv/dormouse', 'not a URL'],
  ['ftp://host/x', "'ftp:'"],
  ['file://srv/dormouse', "'srv'"],
  ['file:///srv?x=1', 'no parameters'],
  ['file:///a%2Fb', 'encoded'],
  ['s3://bucket', 'region'],
  ['s3:///prefix?region=x', 'bucket is missing'],
  ['s3://bucket/../../x y?region=x', 'prefix'],
  ['s3://bucket?regoin=x', "'regoin'"],
  ['s3://bucket?region=x&endpoint=localhost:9000', 'http or https'],
  ['s3://bucket?region=x&forcePathStyle=yes', 'forcePathStyle'],
  ['s3://id@bucket?region=x', 'one half'],
])('%j is refused with a reason', (url, reason) => {
  expect(refusalOf(url)).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(reason) });
});

test('a refusal does not repeat what may be secret', () => {
  expect(refusalOf('s3://id:hunter2@bucket')).toMatchObject({ message: expect.not.stringContaining('hunter2') });
});

function refusalOf(url: string): unknown {
  try {
    return parseStorageUrl(url, {});
  } catch (error) {
    return error;
  }
}
