# The application in a container: deploy/README.md says how to run it. The version of Node is that of package.json, with
# which everything is tested.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# What is both a development dependency and an optional peer counts as optional.
RUN npm ci --omit=dev --omit=optional

FROM node:24.21.0-bookworm-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nestjs-dtc-shop" \
  org.opencontainers.image.description="The application that shows nestjs-dtc, a distributed transaction coordinator" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="1.0.0-rc.1" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.base.name="docker.io/library/node:24.21.0-bookworm-slim"
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
# Named volumes take their owner from here.
RUN mkdir data && chown node:node data
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
USER node
# The decision log must outlive the container: without it, a restart does not know the decisions.
VOLUME /app/data
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --retries=3 \
  CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.PORT}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Without a shell, so that SIGTERM reaches the application and it drains.
CMD ["node", "dist/main.js"]
