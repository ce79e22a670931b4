# Fit the survival models of survival_data.tsv with the package survival: Rscript survival.R
library(survival)
data <- read.delim("survival_data.tsv")
data$sex <- factor(data$sex)
data$site <- factor(data$site)
rows <- list()
note <- function(model, quantity, term, value) {
  rows[[length(rows) + 1]] <<- data.frame(
    model = model, quantity = quantity, term = term, value = sprintf("%.10g", value)
  )
}
tight <- coxph.control(eps = 1e-13, toler.chol = 1e-14, toler.inf = 1e-9, iter.max = 100)
cox <- function(formula) coxph(formula, data, ties = "efron", control = tight)
fits <- list(
  plain = cox(Surv(time, event) ~ chi + age + sex + education + apoe4),
  interaction = cox(Surv(time, event) ~ chi * apoe4 + age + site),
  strata = cox(Surv(time, event) ~ chi + age + strata(sex)),
  two_strata = cox(Surv(time, event) ~ chi + age + strata(sex, apoe4)),
  entry = cox(Surv(entry, time, event) ~ chi + age + site),
  entry_strata = cox(Surv(entry, time, event) ~ chi + age + strata(sex)),
  cluster = cox(Surv(time, event) ~ chi + age + sex + cluster(family)),
  cluster_strata = cox(Surv(time, event) ~ chi + age + strata(sex) + cluster(family)),
  cluster_entry = cox(Surv(entry, time, event) ~ chi + age + sex + cluster(family))
)
for (name in names(fits)) {
  fit <- fits[[name]]
  note(name, "estimate", names(coef(fit)), coef(fit))
  note(name, "std_error", names(coef(fit)), sqrt(diag(vcov(fit))))
  note(name, "log_likelihood", "", fit$loglik[2])
  note(name, "log_likelihood_null", "", fit$loglik[1])
  note(name, "concordance", "", fit$concordance[["concordance"]])
  zph <- cox.zph(fit, transform = "km")$table
  for (k in 1:3) note(name, c("zph_chi2", "zph_df", "zph_p")[k], rownames(zph), zph[, k])
}
# Survival of women of average age whose chi is at its mean -1, 0, +1 SD
levels <- mean(data$chi) + c(-1, 0, 1) * sd(data$chi)
for (name in c("predicted", "predicted_entry")) {
  formula <- if (name == "predicted") Surv(time, event) ~ chi + age + sex else
    Surv(entry, time, event) ~ chi + age + sex
  fit <- coxph(formula, data, control = tight)
  new <- data.frame(chi = levels, age = mean(data$age), sex = "F")
  curves <- summary(survfit(fit, new, conf.type = "log-log"), times = c(1, 2.5, 4, 6))
  for (j in 1:3) for (q in c("surv", "lower", "upper"))
    note(name, q, paste(c("-1", "0", "+1")[j], curves$time, sep = "@"), curves[[q]][, j])
}
# Firth: half the log determinant of the information added; its maximum found by optim
penalised <- function(beta, formula) {
  fit <- suppressWarnings(coxph(formula, data, init = beta, control = coxph.control(iter.max = 0)))
  fit$loglik[2] + 0.5 * as.numeric(determinant(solve(vcov(fit)))$modulus)
}
firth <- list(
  firth = Surv(time, event) ~ chi + age + sex,
  firth_strata = Surv(time, event) ~ chi + age + strata(sex),
  firth_entry = Surv(entry, time, event) ~ chi + age
)
for (name in names(firth)) {
  start <- coef(coxph(firth[[name]], data))
  found <- optim(start, penalised, formula = firth[[name]], method = "BFGS",
    control = list(fnscale = -1, reltol = 1e-15, parscale = rep(0.1, length(start)), maxit = 1000))
  note(name, "estimate", names(start), found$par)
  note(name, "log_likelihood", "", found$value)
}
# Kaplan-Meier curves, medians, restricted means and tests
data$half <- ifelse(data$chi <= median(data$chi), "low", "high")
groups <- list(half = "half", site = "site")
for (name in names(groups)) for (entry in c(FALSE, TRUE)) {
  model <- paste0("km_", name, if (entry) "_entry" else "")
  response <- if (entry) "Surv(entry, time, event)" else "Surv(time, event)"
  fit <- survfit(as.formula(paste(response, "~", name)), data, conf.type = "log-log")
  table <- summary(fit, rmean = 5)$table
  levels <- sub(".*=", "", rownames(table))
  for (q in c("median", "0.95LCL", "0.95UCL", "rmean", "se(rmean)"))
    note(model, q, levels, table[, q])
  curves <- summary(fit, times = c(0.5, 1, 2.5, 4, 6), extend = TRUE)
  for (q in c("n.risk", "surv", "lower", "upper"))
    note(model, q, paste(sub(".*=", "", curves$strata), curves$time, sep = "@"), curves[[q]])
}
tests <- list(half = Surv(time, event) ~ half, site = Surv(time, event) ~ site,
  half_strata = Surv(time, event) ~ half + strata(sex),
  site_strata = Surv(time, event) ~ site + strata(sex))
for (name in names(tests)) {
  found <- survdiff(tests[[name]], data)
  note(paste0("logrank_", name), "chi2", "", found$chisq)
  note(paste0("logrank_", name), "p_value", "", pchisq(found$chisq, length(found$n) - 1, lower = FALSE))
}
out <- file("survival_golden.tsv", "w")
writeLines(paste0("# R ", getRversion(), ", survival ", packageVersion("survival")), out)
write.table(do.call(rbind, rows), out, sep = "\t", quote = FALSE, row.names = FALSE)
close(out)
