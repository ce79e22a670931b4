# Fit the ANCOVA of ancova_data.tsv, with car and emmeans: Rscript ancova.R
library(car)
library(emmeans)
data <- read.delim("ancova_data.tsv")
data$group <- factor(data$group, levels = c("AD", "HC", "MCI"))
data$sex <- factor(data$sex)
rows <- list()
note <- function(model, quantity, term, value) {
  rows[[length(rows) + 1]] <<- data.frame(
    model = model, quantity = quantity, term = term, value = sprintf("%.10g", value)
  )
}
for (name in c("main", "crossed")) {
  formula <- if (name == "main") chi ~ group + sex + age else chi ~ group * sex + age
  # Type III needs contrasts that sum to zero; estimates and means do not depend on them.
  sums <- lm(formula, data, contrasts = list(group = contr.sum, sex = contr.sum))
  plain <- lm(formula, data)
  found <- coef(summary(plain))
  for (k in 1:4) note(name, c("estimate", "std_error", "t", "p_value")[k], rownames(found), found[, k])
  note(name, "r_squared", "", summary(plain)$r.squared)
  for (type in 2:3) {
    anova <- Anova(sums, type = type)
    label <- paste0("type", type, "_")
    note(name, paste0(label, "sum_of_squares"), rownames(anova), anova[["Sum Sq"]])
    note(name, paste0(label, "df"), rownames(anova), anova[["Df"]])
    note(name, paste0(label, "F"), rownames(anova), anova[["F value"]])
    note(name, paste0(label, "p_value"), rownames(anova), anova[["Pr(>F)"]])
  }
  # emmeans: covariates at their mean; "equal" averages the sexes, "proportional" weighs them.
  for (weights in c("equal", "proportional")) {
    means <- emmeans(plain, "group", weights = weights)
    table <- as.data.frame(means)
    for (q in c("emmean", "SE", "df", "lower.CL", "upper.CL"))
      note(name, paste0("mean_", weights, "_", q), table$group, table[[q]])
    for (adjust in c("none", "tukey", "holm")) {
      pairs <- as.data.frame(pairs(means, adjust = adjust))
      if (adjust == "none") for (q in c("estimate", "SE", "t.ratio"))
        note(name, paste0("pair_", weights, "_", q), pairs$contrast, pairs[[q]])
      note(name, paste0("pair_", weights, "_p_", adjust), pairs$contrast, pairs$p.value)
    }
  }
}
versions <- paste0(
  "R ", getRversion(), ", car ", packageVersion("car"), ", emmeans ", packageVersion("emmeans")
)
out <- file("ancova_golden.tsv", "w")
writeLines(paste("#", versions), out)
write.table(do.call(rbind, rows), out, sep = "\t", quote = FALSE, row.names = FALSE, na = "n/a")
close(out)
