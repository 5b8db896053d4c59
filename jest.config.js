/** All tests: unit tests beside the code, tests on real Postgres, Redis, S3 and QEMU below test/. */
module.exports = {
  rootDir: __dirname,
  testMatch: ['<rootDir>/{apps,libs,test,scripts}/**/*.spec.ts'],
  transform: { '^.+\\.[tj]s$': '@swc/jest' },
  // An ES module that a dependency of the api pulls in; Jest cannot load it as it is.
  transformIgnorePatterns: ['/node_modules/(?!(@fastify/static/node_modules/)?content-disposition/)'],
  moduleNameMapper: { '^@dormouse/([^/]+)$': '<rootDir>/libs/$1/index.ts' },
  testEnvironment: 'node',
  // Two at a time: each test file with a guest or a database keeps a processor busy by itself.
  maxWorkers: 2,
  testTimeout: 60_000,
  reporters: ['default', '<rootDir>/scripts/summary-reporter.cjs'],
};
