"""The levels that each categorical column of an encounter can take.

Source: `diabetic_data.csv` and `IDS_mapping.csv` of the UCI Machine Learning Repository, data set 296;
Strack et al., "Impact of HbA1c Measurement on Hospital Readmission Rates", 2014, table 1.
"""

AGES = tuple(f"[{low}-{low + 10})" for low in range(0, 100, 10))

RACES = ("AfricanAmerican", "Asian", "Caucasian", "Hispanic", "Other")

GENDERS = ("Female", "Male", "Unknown/Invalid")

# Pounds.
WEIGHTS = (
    *(f"[{low}-{low + 25})" for low in range(0, 200, 25)),
    ">200",
)

# `IDS_mapping.csv`; the codes it names, whether or not an encounter of the data set has them.
ADMISSION_TYPES = tuple(str(code) for code in range(1, 9))
DISCHARGE_DISPOSITIONS = tuple(str(code) for code in range(1, 31))
ADMISSION_SOURCES = tuple(str(code) for code in range(1, 27) if code != 16)  # noqa: PLR2004

PAYER_CODES = (
    "BC", "CH", "CM", "CP", "DM", "FR", "HM", "MC", "MD",
    "MP", "OG", "OT", "PO", "SI", "SP", "UN", "WC",
)  # fmt: skip

MEDICAL_SPECIALTIES = (
    "AllergyandImmunology",
    "Anesthesiology",
    "Anesthesiology-Pediatric",
    "Cardiology",
    "Cardiology-Pediatric",
    "DCPTEAM",
    "Dentistry",
    "Dermatology",
    "Emergency/Trauma",
    "Endocrinology",
    "Endocrinology-Metabolism",
    "Family/GeneralPractice",
    "Gastroenterology",
    "Gynecology",
    "Hematology",
    "Hematology/Oncology",
    "Hospitalist",
    "InfectiousDiseases",
    "InternalMedicine",
    "Nephrology",
    "Neurology",
    "Neurophysiology",
    "Obsterics&Gynecology-GynecologicOnco",
    "Obstetrics",
    "ObstetricsandGynecology",
    "Oncology",
    "Ophthalmology",
    "Orthopedics",
    "Orthopedics-Reconstructive",
    "Osteopath",
    "Otolaryngology",
    "OutreachServices",
    "Pathology",
    "Pediatrics",
    "Pediatrics-AllergyandImmunology",
    "Pediatrics-CriticalCare",
    "Pediatrics-EmergencyMedicine",
    "Pediatrics-Endocrinology",
    "Pediatrics-Hematology-Oncology",
    "Pediatrics-InfectiousDiseases",
    "Pediatrics-Neurology",
    "Pediatrics-Pulmonology",
    "Perinatology",
    "PhysicalMedicineandRehabilitation",
    "PhysicianNotFound",
    "Podiatry",
    "Proctology",
    "Psychiatry",
    "Psychiatry-Addictive",
    "Psychiatry-Child/Adolescent",
    "Psychology",
    "Pulmonology",
    "Radiologist",
    "Radiology",
    "Resident",
    "Rheumatology",
    "Speech",
    "SportsMedicine",
    "Surgeon",
    "Surgery-Cardiovascular",
    "Surgery-Cardiovascular/Thoracic",
    "Surgery-Colon&Rectal",
    "Surgery-General",
    "Surgery-Maxillofacial",
    "Surgery-Neuro",
    "Surgery-Pediatric",
    "Surgery-Plastic",
    "Surgery-PlasticwithinHeadandNeck",
    "Surgery-Thoracic",
    "Surgery-Vascular",
    "SurgicalSpecialty",
    "Urology",
)

# "None" is a level of its own: the test was not done. It is not a missing value.
GLUCOSE_RESULTS = ("None", "Norm", ">200", ">300")
A1C_RESULTS = ("None", "Norm", ">7", ">8")

# How the dose of a drug changed during the stay; "No" means that it was not prescribed.
DOSES = ("No", "Down", "Steady", "Up")

MEDICATION_CHANGES = ("No", "Ch")
DIABETES_MEDICATIONS = ("No", "Yes")

PENDING = "pending"
"""The outcome is not known yet: an encounter may be delivered before its 30 days are over."""

READMISSIONS = ("NO", ">30", "<30", PENDING)
