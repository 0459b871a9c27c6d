/* Renders openapi.yaml with the bundled Swagger UI. */

/* It leaves references among a path's own parameters unresolved, so each of
 * the path's operations gets them instead. */
const inheritParameters = () => ({
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (document) => {
          for (const item of Object.values(document.paths ?? {})) {
            const { parameters = [], ...operations } = item;
            delete item.parameters;
            for (const operation of Object.values(operations))
              operation.parameters = [...parameters, ...(operation.parameters ?? [])];
          }
          return update(document);
        },
      },
    },
  },
});

SwaggerUIBundle({
  url: "/openapi.yaml",
  dom_id: "#api",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null,
  plugins: [inheritParameters],
});
