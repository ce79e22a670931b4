# Fit the mixed models of mixed_data.tsv and growth_data.tsv with lme4: Rscript mixed.R
library(lme4)
data <- read.delim("mixed_data.tsv")
lesions <- read.delim("growth_data.tsv")
tight <- lmerControl(
  optimizer = "bobyqa", optCtrl = list(maxfun = 1e6, rhoend = 1e-10), calc.derivs = FALSE
)
fits <- list(
  slope = y ~ age + education + chi * time + dvr * time + (1 + time | participant_id),
  three_way = y ~ age + education + time * chi * dvr + (1 + time | participant_id),
  intercept = y ~ age + education + chi * time + dvr * time + (1 | participant_id)
)
nested <- list(nested = chi ~ rim * (age + I(age^2) + I(age^3)) + (1 | patient / lesion))
rows <- list()
note <- function(model, reml, quantity, term, value) {
  rows[[length(rows) + 1]] <<- data.frame(
    model = model, reml = as.integer(reml), quantity = quantity, term = term,
    value = sprintf("%.10g", value)
  )
}
for (reml in c(TRUE, FALSE)) for (name in c(names(fits), names(nested))) {
  formula <- if (name == "nested") nested[[name]] else fits[[name]]
  table <- if (name == "nested") lesions else data
  fit <- lmer(formula, table, REML = reml, control = tight)
  note(name, reml, "estimate", names(fixef(fit)), fixef(fit))
  note(name, reml, "std_error", names(fixef(fit)), sqrt(diag(as.matrix(vcov(fit)))))
  note(name, reml, "log_likelihood", "", as.numeric(logLik(fit)))
  parts <- as.data.frame(VarCorr(fit))
  # var1, var2: the random effects that vary (var2 empty for a variance, both for a covariance)
  label <- paste(parts$grp, parts$var1, parts$var2, sep = "|")
  note(name, reml, "variance", gsub("NA", "", label), parts$vcov)
}
versions <- paste0("R ", getRversion(), ", lme4 ", packageVersion("lme4"))
out <- file("mixed_golden.tsv", "w")
writeLines(paste("#", versions), out)
write.table(do.call(rbind, rows), out, sep = "\t", quote = FALSE, row.names = FALSE)
close(out)
