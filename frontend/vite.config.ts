import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** `npm run dev` shows the pages from source and asks this server for everything else. */
const server = process.env["QC_SERVER"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  build: { target: "es2023", chunkSizeWarningLimit: 1000, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": { target: server, changeOrigin: true } } },
  test: { setupFiles: ["src/text/office.ts"], environment: "node", include: ["src/**/*.test.ts"] },
});
