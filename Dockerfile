# Two images from one build: `--target api` without QEMU, `--target worker` with it.

FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# What is locked, and besides: the lock file lacks the packages of platforms for which they could not be had, and one of them may be this one.
RUN npm install --no-save --include=dev --ignore-scripts --no-audit --no-fund
COPY .swcrc tsconfig.json ./
COPY apps apps
COPY libs libs
COPY migrations migrations
RUN npx swc apps libs migrations -d dist && npm prune --omit=dev --ignore-scripts

FROM node:20-bookworm-slim AS base
ENV NODE_ENV=production DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN ln -s /app/dist/apps/cli/main.js /usr/local/bin/dormouse && chmod +x dist/apps/cli/main.js \
  && install -d -m 0700 -o node -g node /data /keys
VOLUME /data

FROM base AS api
USER node
EXPOSE 7077
CMD ["node", "--enable-source-maps", "dist/apps/api/main.js"]

# Runs as root inside its container, and needs CAP_SYS_PTRACE for userfaultfd: see docker-compose.yml.
FROM base AS worker
RUN apt-get update \
  && apt-get install --yes --no-install-recommends qemu-system-x86 qemu-utils util-linux iproute2 \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --user-group --no-create-home dormouse-qemu
COPY deploy/docker/keep-worker.sh /usr/local/bin/keep-worker
ENTRYPOINT ["keep-worker"]
CMD ["node", "--enable-source-maps", "dist/apps/worker/main.js"]
